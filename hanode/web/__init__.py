"""What can be read of a daemon over HTTP? Metrics, health, the published status and a page of it. Nothing here can change anything."""
