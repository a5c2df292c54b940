"""JSON Schemas of what people write: promotion.yaml and the test-result message."""
