"""Read the weights of any SR network, safely, and fill a network with them."""
