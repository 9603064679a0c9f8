"""The domain of Alma Airflow: Alma's API, MARC, WEST deliveries, and the stores behind them. Knows no Airflow."""

__version__ = "0.1.0"
