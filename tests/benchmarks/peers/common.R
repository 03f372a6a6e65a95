# What the R adapters share: read the job (key=value lines), measure, write CSV files.
# responses: matrix (model, item) of 1, 0 or NA, read from a text file of rows.

read_job <- function() {
  lines <- readLines(commandArgs(trailingOnly = TRUE)[1])
  parts <- regmatches(lines, regexpr("=", lines), invert = TRUE)
  setNames(as.list(vapply(parts, `[`, "", 2)), vapply(parts, `[`, "", 1))
}

read_responses <- function(job) {
  values <- scan(job$matrix, what = integer(), quiet = TRUE)
  values[values < 0] <- NA
  matrix(values, nrow = as.integer(job$n_models), byrow = TRUE)
}

peak_mb <- function() {
  line <- grep("^VmHWM:", readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1000
}

write_record <- function(job, timing, package, notes = list()) {
  record <- c(list(
    fit_seconds = timing[["elapsed"]], cpu_seconds = timing[["user.self"]] + timing[["sys.self"]],
    peak_mb = peak_mb(), package = package, version = as.character(packageVersion(package)), R = as.character(getRversion())
  ), notes)
  writeLines(paste0(names(record), "=", vapply(record, as.character, "")), job$record)
}

write_estimates <- function(job, ...) {
  columns <- list(...)
  rows <- do.call(rbind, lapply(names(columns), function(name) {
    data.frame(name = name, value = as.numeric(columns[[name]]))
  }))
  write.table(rows, job$estimates, sep = ",", row.names = FALSE, col.names = FALSE, quote = FALSE, na = "nan")
}
