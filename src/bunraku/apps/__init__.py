"""What people use beside the command line; every app calls `bunraku.animate` and re-implements nothing."""
