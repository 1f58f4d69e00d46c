"""EPBD in the forms of other programs: webdataset tars, and Hugging Face's `imagefolder`."""
