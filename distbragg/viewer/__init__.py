"""Looking at frames in a browser: what is shown, and the page that shows it."""
