"""Triggers: what the triggerer waits for. Importable there and in the DAG processor."""
