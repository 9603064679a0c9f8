"""Reading the lists that people made: lines of text, CSV, TSV, Excel workbooks."""
