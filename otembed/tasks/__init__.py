"""The benchmarks, one folder each: data, evaluation, report, table and plot stand together."""
