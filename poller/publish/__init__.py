"""One Kafka message for each record, in input order, in transactions that carry the batch's progress marker."""
