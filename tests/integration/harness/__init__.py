"""What the end-to-end tests start, speak and look at."""
