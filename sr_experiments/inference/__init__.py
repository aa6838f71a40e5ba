"""Use a trained generator: on images, on video, in bounded memory."""
