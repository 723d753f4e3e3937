"""The commands of a rank, by tell and admin socket."""
