"""Face crops of one's own pictures and clips, and the page to label them. Reading them is the task of `prepare`."""
