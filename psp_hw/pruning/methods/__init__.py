"""How structure parameters are driven to zero."""
