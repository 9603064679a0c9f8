"""All of Alma Airflow that knows Airflow: hooks, operators, and what the Airflow UI shows."""
