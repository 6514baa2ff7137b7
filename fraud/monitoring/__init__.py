"""What operators watch: Prometheus metrics of both processes, realised quality of the champions."""
