"""The local stack: servers from wheels, Airflow's components, their supervisor. Without containers."""
