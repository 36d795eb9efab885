"""Many runs: executed, aggregated, plotted."""
