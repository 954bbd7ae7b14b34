"""Where are the tests that need a real OpenStack? Here; the cloud itself is in `stack`."""
