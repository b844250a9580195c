"""Networks that look at pictures, trained apart from the models that they judge."""
