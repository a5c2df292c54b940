"""``promotion promote`` with a promotion.yaml: records, holds, gates, and what comes of them."""
