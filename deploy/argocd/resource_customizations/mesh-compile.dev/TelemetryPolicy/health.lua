-- Policies have a status only where the objects of the cluster are what is compiled:
-- without one, the PolicySync says what became of them. A condition Accepted that is
-- False names an error in this object; Ready may say more.
if obj.status == nil or obj.status.conditions == nil then
  return {status = "Healthy", message = "The PolicySync says what became of it"}
end

local generation = obj.metadata.generation
local healthy = {status = "Healthy", message = "Accepted"}
for _, c in ipairs(obj.status.conditions) do
  if c.type == "Accepted" or c.type == "Ready" or c.type == "Stalled" then
    if generation ~= nil and (c.observedGeneration or obj.status.observedGeneration or generation) < generation then
      return {status = "Progressing", message = "Waiting for the controller to see the change"}
    end
    if (c.type == "Stalled" and c.status == "True") or (c.type ~= "Stalled" and c.status == "False") then
      return {status = "Degraded", message = c.message}
    end
    if c.type == "Accepted" and c.message ~= nil and c.message ~= "" then
      healthy.message = c.message
    end
  end
end
return healthy
