"""`python -m bunraku` is `bunraku`."""

from bunraku.cli import main

main()
