output "promotion" {
  description = "Everything that the module tells."
  value       = module.promotion
}
