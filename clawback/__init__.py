"""The face of Clawback: command line, settings, wiring and the pipeline that ties the parts together."""
