"""``nlpu run PROGRAM --each INPUTS``: a batch, from what is typed to the files that are left."""
