"""Face crops of the user's pictures and clips, and the page to label them. Reading them is the task of `prepare`."""
