"""Jobs: transcriptions that outlive their request, in a store that outlives the process."""
