"""What a file asks, answers and costs, before it does: a trial without Kafka, an estimate before paying."""
