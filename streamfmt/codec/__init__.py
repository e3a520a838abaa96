"""Values by the schema model, from bytes and to bytes, without construct."""
