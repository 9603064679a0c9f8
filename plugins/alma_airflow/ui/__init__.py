"""What the Airflow UI shows beyond itself."""
