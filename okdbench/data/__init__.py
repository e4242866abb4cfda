"""Pictures: what a data set declares, the decoded cache, batches on the device."""
