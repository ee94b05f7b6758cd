"""The Flink job: its SQL and graph, its configuration, where it runs, and what its REST interface says of it."""
