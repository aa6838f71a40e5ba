"""A training configuration is looked over before it costs a night."""
