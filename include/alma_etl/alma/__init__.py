"""The client of Ex Libris Alma's REST API. Start at `alma_etl.alma.client.AlmaClient`."""
