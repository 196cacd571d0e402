"""The studio: a page on this machine on which artists animate a still without a command line."""
