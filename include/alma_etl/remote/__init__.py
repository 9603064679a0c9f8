"""What talking to any remote service needs: errors by kind, three answers, safe writes, the rate limiter."""
