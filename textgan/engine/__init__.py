"""The training engine: knows neither text nor images nor networks."""
