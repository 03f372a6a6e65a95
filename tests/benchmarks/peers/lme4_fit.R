# lme4: the 1PL as a mixed model with crossed random models and items, one adaptive node less (nAGQ = 0).
# logit = intercept + model + item = sd_model * (ability - difficulty), ability ~ N(0, 1): the 1PL's one slope is sd_model.
file <- sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))
source(file.path(dirname(file), "common.R"))
suppressPackageStartupMessages(library(lme4))

job <- read_job()
responses <- read_responses(job)
cells <- data.frame(
  correct = as.vector(responses),
  model = factor(rep(seq_len(nrow(responses)), ncol(responses))),
  item = factor(rep(seq_len(ncol(responses)), each = nrow(responses)))
)
cells <- cells[!is.na(cells$correct), ]
timing <- system.time({
  fitted <- glmer(correct ~ 1 + (1 | model) + (1 | item), data = cells, family = binomial, nAGQ = 0L)
  effects <- ranef(fitted, condVar = TRUE)
})
slope <- sqrt(as.numeric(VarCorr(fitted)$model))
intercept <- unname(fixef(fitted)[1])
conditional_sd <- function(effect) sqrt(as.vector(attr(effect, "postVar")))
ability <- effects$model[order(as.integer(rownames(effects$model))), 1] / slope
difficulty <- -(intercept + effects$item[order(as.integer(rownames(effects$item))), 1]) / slope
write_estimates(
  job, ability = ability, ability_sd = conditional_sd(effects$model) / slope,
  difficulty = difficulty, difficulty_sd = conditional_sd(effects$item) / slope,
  discrimination = rep(slope, length(difficulty))
)
write_record(job, timing, "lme4")
