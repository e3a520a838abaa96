"""What tests share: streams, how they are judged, and the processes that tests run; no test is here."""
