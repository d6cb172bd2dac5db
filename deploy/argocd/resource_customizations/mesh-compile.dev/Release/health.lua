-- A Release is made by the controller and never changes; its rollout says how far it
-- has spread. One that a newer release has overtaken is no fault.
local rollout = {}
if obj.status ~= nil then
  for _, c in ipairs(obj.status.conditions or {}) do
    if c.type == "Stalled" and c.status == "True" then
      return {status = "Degraded", message = c.message}
    end
  end
  rollout = obj.status.rollout or {}
end

if rollout.phase == "Halted" then
  return {status = "Degraded", message = rollout.message or "The rollout is halted"}
end
if rollout.phase == "Complete" then
  return {status = "Healthy", message = "Every proxy has it or gets it"}
end
if rollout.phase == "Superseded" then
  return {status = "Healthy", message = "A newer release has taken its place"}
end
if rollout.phase == "Paused" then
  return {status = "Suspended", message = "The rollout pauses after a wave"}
end
if rollout.phase == "Progressing" then
  return {status = "Progressing", message = "Wave " .. tostring(rollout.wave or 1) .. " of " .. tostring(rollout.waves or 1)}
end
return {status = "Progressing", message = "Waiting for the signature"}
