"""Where spots fall and how many photons they hold, from the experiment alone."""
