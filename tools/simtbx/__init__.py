"""Cases of simtbx's images, built as specifications of distbragg."""
