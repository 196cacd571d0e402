"""bunraku: one still image and one driving video in, one animated video out."""
