"""Rules that keep photos out of the data set which nothing good can be learned from."""
