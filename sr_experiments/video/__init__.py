"""Video files: decode, encode, convert colours, mux, find scene cuts."""
