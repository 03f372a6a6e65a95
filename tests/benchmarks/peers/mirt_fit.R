# mirt: marginal maximum likelihood by EM, abilities by expected a posteriori. Option se: standard errors too (Oakes).
# logit = a ability + d, so difficulty = -d / a; its sd by the delta method is mirt's own (IRTpars).
file <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
source(file.path(dirname(file), "common.R"))
suppressPackageStartupMessages(library(mirt))

job <- read_job()
responses <- as.data.frame(read_responses(job))
with_se <- identical(job$se, "True")
itemtype <- if (identical(job$irt_model, "1pl")) "Rasch" else "2PL"
timing <- system.time({
  fitted <- mirt(responses, 1, itemtype = itemtype, SE = with_se, verbose = FALSE)
  scores <- fscores(fitted, method = "EAP", full.scores = TRUE, full.scores.SE = TRUE)
})
parameters <- coef(fitted, IRTpars = TRUE, printSE = with_se)
parameters <- parameters[names(parameters) != "GroupPars"]
pick <- function(row, column) vapply(parameters, function(item) item[row, column], 0)
estimates <- list(
  job, ability = scores[, 1], ability_sd = scores[, 2], difficulty = pick(1, "b"), discrimination = pick(1, "a")
)
if (with_se) {
  estimates$difficulty_sd <- pick(2, "b")
  estimates$discrimination_sd <- pick(2, "a")
}
do.call(write_estimates, estimates)
write_record(job, timing, "mirt")
