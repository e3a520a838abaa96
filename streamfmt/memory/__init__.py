"""A guest's memory, as the images of a stream have it: which frames there are, and where the content of each lies."""
